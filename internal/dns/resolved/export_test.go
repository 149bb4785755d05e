package resolved

// ReverseZones is what the external tests check by itself.
var ReverseZones = reverseZones

// Package ipam holds the nouns of address management (network, pin, holder,
// lease) and the rules between them. It is pure: no I/O, goroutine or clock.
package ipam

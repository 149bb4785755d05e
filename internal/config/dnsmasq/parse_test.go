package dnsmasq_test

import "testing/fstest"

var machineless = fstest.MapFS{}

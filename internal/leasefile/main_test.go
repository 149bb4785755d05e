package leasefile_test

import (
	"testing"

	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

package dhcp4

import (
	"testing"

	"berth/internal/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

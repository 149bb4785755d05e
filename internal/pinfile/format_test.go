package pinfile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"berth/internal/ipam"
	"berth/internal/pinfile"
)

func TestFormatIsReadBack(t *testing.T) {
	const text = "cent01,10.64.177.101\ncent01:eth1,10.64.177.102,infinite\n02:00:00:00:00:01,10.64.177.103\n02:00:00:00:00:02,web,10.64.177.104,2700s\n" +
		"12h.,10.64.177.105\n02:00:00:00:00:03,infinite.,10.64.177.106\n"
	pins, problems := pinfile.Parse("pins", []byte(text))
	if len(problems) > 0 || len(pins) != 6 {
		t.Fatalf("Parse = %v, %v", pins, problems)
	}
	again, problems := pinfile.Parse("pins", pinfile.Format(pins))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(pins, again, cmpopts.IgnoreFields(ipam.Pin{}, "Source"), cmpopts.EquateComparable(ipam.Pin{}.Addr)); diff != "" {
		t.Errorf("read back differently:\n%s", diff)
	}
}

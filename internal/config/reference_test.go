package config_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth/internal/config"
	"berth/internal/config/option"
)

// keyLine is a key of the reference, in force or shown as what could be: "#key = value".
var keyLine = regexp.MustCompile(`(?m)^#?([a-z0-9-]+) = (.*)$`)

func TestReferenceIsAConfiguration(t *testing.T) {
	f := mustParse(t, string(config.Reference()))
	if len(f.Networks) != 1 || len(f.Warnings) != 0 {
		t.Errorf("%d networks, warnings %v", len(f.Networks), f.Warnings)
	}
}

// TestReferenceHasEveryKey takes the keys from the message about one that is not known.
func TestReferenceHasEveryKey(t *testing.T) {
	_, err := config.Parse("f", []byte(minimal+"colour = 1"), config.Env{})
	p := problemsOf(t, err)[0]
	keys := append(strings.Split(strings.TrimPrefix(p.Hint, "known: "), ", "), "format") // that of [log]
	if len(keys) < 14 {
		t.Fatalf("only %d keys: %s", len(keys), p.Hint)
	}
	shown := make(map[string]int)
	for _, m := range keyLine.FindAllStringSubmatch(string(config.Reference()), -1) {
		shown[m[1]]++
	}
	for _, key := range keys {
		if shown[key] != 1 {
			t.Errorf("%s is shown %d times", key, shown[key])
		}
		delete(shown, key)
	}
	for key := range shown {
		t.Errorf("%s is no key", key)
	}
}

// TestReferenceStatesTheRealDefaults puts each line in force that is shown: it must be good, and
// change nothing when the comment above it says that it is the default.
func TestReferenceStatesTheRealDefaults(t *testing.T) {
	text := string(config.Reference())
	base := one(t, text)
	defaults := 0
	for _, m := range keyLine.FindAllStringSubmatchIndex(text, -1) {
		line, key, value := text[m[0]:m[1]], text[m[2]:m[3]], text[m[4]:m[5]]
		above := text[:m[0]]
		above = above[strings.LastIndex(above, "\n\n"):]
		_, stated, ok := strings.Cut(above, "\n# Default: ")
		stated = strings.TrimSpace(stated)
		switch {
		case key == "ipv4":
			if !strings.Contains(above, "\n# Required.") {
				t.Error("ipv4 is not said to be required")
			}
		case !ok:
			t.Errorf("the default of %s is not stated", key)
		case strings.HasPrefix(stated, "absent"):
			if !strings.HasSuffix(stated, "An example:") {
				t.Errorf("%s: %q", key, stated)
			}
			without := one(t, strings.Replace(text, line+"\n", "", 1))
			with := mustParse(t, strings.Replace(text, line, key+" = "+value, 1))
			if cmp.Equal(with.Networks[0], without, values) && len(with.Warnings) == 0 {
				t.Errorf("%s = %s is the default", key, value)
			}
		default:
			defaults++
			if line[0] != '#' {
				t.Errorf("%s is the default, and in force", line)
			}
			if key != "dhcp-range" && stated != value+"." {
				t.Errorf("the default of %s is said to be %s, and shown as %s", key, stated, value)
			}
			shown := mustParse(t, strings.Replace(text, line, line[1:], 1))
			if diff := cmp.Diff(base, shown.Networks[0], values); diff != "" || shown.Log != config.LogText {
				t.Errorf("%s is not the default:\n%s, log %s", line, diff, shown.Log)
			}
		}
	}
	if defaults < 7 {
		t.Errorf("only %d defaults", defaults)
	}
}

func TestReferenceListsEveryOption(t *testing.T) {
	text := string(config.Reference())
	for _, o := range option.All() {
		want := fmt.Sprintf("\n#   %3d %s: %s", o.Code, o.Name, o.Type())
		if len(o.Also) > 0 {
			want += " | " + strings.Join(o.Also, ", ")
		}
		if !strings.Contains(text, want+"\n") {
			t.Errorf("not there:%s", want)
		}
		if !strings.Contains(text, "\n#   "+o.Type()+" ") {
			t.Errorf("type %q is not explained", o.Type())
		}
	}
	listed := regexp.MustCompile(`(?m)^#   [ 0-9]{3} `).FindAllString(text, -1)
	if len(listed) != len(option.All()) {
		t.Errorf("%d options are listed, %d are known", len(listed), len(option.All()))
	}
}

package shellvars_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/config/shellvars"
)

func TestValues(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"blank lines and comments", "\n  # A=1\n\t\n#", ""},
		{"bare", "A=1\n", "A=1"},
		{"no line end", "A=1", "A=1"},
		{"empty", "A=\nB=\"\"\nC=''\n", "A=|B=|C="},
		{"double quotes", `A="a b"`, "A=a b"},
		{"single quotes keep all", `A='a"$B\'`, `A=a"$B\`},
		{"pieces", `A=a"b c"'d'e`, "A=ab cde"},
		{"backslash", `A=a\ b\"\$`, `A=a b"$`},
		{"backslash in double quotes, POSIX 2.2.3", `A="\$\"\\\` + "`" + `\n"`, "A=$\"\\`\\n"},
		{"several a line", "A=1 B=2\tC=3", "A=1|B=2|C=3"},
		{"semicolons", "A=1; B=2;", "A=1|B=2"},
		{"the last one counts", "A=1\nB=2\nA=3", "A=3|B=2"},
		{"comment behind a value", "A=1 # B=2", "A=1"},
		{"hash within a value", "A=1#2", "A=1#2"},
		{"hash in quotes", `A="# 1"`, "A=# 1"},
		{"comment behind a semicolon", "A=1;# x", "A=1"},
		{"joined lines", "A=1\\\n2 \\\n B=3", "A=12|B=3"},
		{"joined lines in double quotes", "A=\"1\\\n2\"", "A=12"},
		{"a value of two lines", "A='1\n2'\nB=3", "A=1\n2|B=3"},
		{"export", "export A=1 B\nexport B C=2", "A=1|C=2"},
		{"earlier variable", "A=1\nB=$A.${A}x\nC=\"<$B>\"", "A=1|B=1.1x|C=<1.1x>"},
		{"earlier on the line, POSIX 2.9.1", "A=1 B=$A", "A=1|B=1"},
		{"itself", "A=1\nA=${A}2", "A=12"},
		{"the value of that time", "A=1\nB=$A\nA=2", "A=2|B=1"},
		{"preset", "A=$P", "A=preset"},
		{"dollar alone", `A=$ B="$" C=1$`, "A=$|B=$|C=1$"},
		{"blanks of an expanded value stay", "A='1 2'\nB=$A", "A=1 2|B=1 2"},
		{"nothing to run", ":\ntrue\n: $P x", ""},
		{"glob is text in an assignment", "A=*.conf[1]?", "A=*.conf[1]?"},
		{"equals within", "A=B=C", "A=B=C"},
		{"tilde within", "A=a~b B='~' C=\\~", "A=a~b|B=~|C=~"},
		{"not ASCII", "A=\"\u00b5\"", "A=\u00b5"},
		{"file", ". extra\nB=$X", "X=extra|B=extra"},
		{"file in quotes", `source "extra"`, "X=extra"},
		{"file if there is one", "[ -f extra ] && . extra", "X=extra"},
		{"file if there is one, as lxc has it", "[ ! -f extra ] || . extra;A=1", "X=extra|A=1"},
		{"file if there is one, test", "test -r extra && . extra # all of it\n", "X=extra"},
		{"file on the next line", "[ -e extra ] &&\n  . extra\n", "X=extra"},
		{"no file", "A=1\n[ -f none ] && . none\n[ ! -s none ] || . none\nB=2", "A=1|B=2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vars, problems := shellvars.Parse("f", []byte(tt.text), options())
			if len(problems) > 0 {
				t.Fatalf("refused:\n%v", problems)
			}
			if have := show(vars); have != tt.want {
				t.Errorf("%s, want %s", have, tt.want)
			}
		})
	}
}

func options() shellvars.Options {
	return shellvars.Options{
		Preset: map[string]string{"P": "preset"},
		Open: func(path string) ([]byte, error) {
			switch path {
			case "extra":
				return []byte("X=extra"), nil
			case "bad":
				return []byte("A=1\nX = extra"), nil
			case "loop":
				return []byte("\n. loop"), nil
			case "pipe":
				return nil, errors.New("this is no ordinary file")
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
}

func show(vars *shellvars.Vars) string {
	var all []string
	for _, v := range vars.All() {
		all = append(all, v.Name+"="+v.Value)
	}
	return strings.Join(all, "|")
}

func TestRefusals(t *testing.T) {
	tests := []struct{ name, text, at, want, hint string }{
		{"command substitution", "A=1\nB=\"x$(hostname)\"", "2:5", "a command stands here", "the value itself"},
		{"backquotes", "A=`hostname`", "1:3", "backquotes", "the value itself"},
		{"backquotes in double quotes", "A=\"`hostname`\"", "1:4", "backquotes", "the value itself"},
		{"arithmetic", "A=$((1+2))", "1:3", "arithmetic", "the value itself"},
		{"default value", "A=${B:-1}", "1:3", "${B:-1} is worked out by a shell only", "the value itself"},
		{"open brace", "A=${B\n", "1:3", "nothing closes this brace", "${NAME}"},
		{"empty braces", "A=${}", "1:3", "${} is worked out", "the value itself"},
		{"variable that is not set", "A=$B", "1:3", "B is not set above", "nothing in its place"},
		{"variable that is set below", "A=$B\nB=1", "1:3", "B is not set above", "nothing in its place"},
		{"positional parameter", "A=$1", "1:3", "$1 means something to a running shell", `\$`},
		{"process id", "A=\"$$\"", "1:4", "$$ means something", `\$`},
		{"ANSI-C quotes", `A=$'\n'`, "1:3", "not every shell understands $'", "without the dollar"},
		{"open single quote", "A=1\nB='x\nC=2", "2:3", "nothing closes this quote", "close it with '"},
		{"open double quote", "A=\"x\nB=2\n", "1:3", "nothing closes this quote", `close it with "`},
		{"backslash at the end", "A=1\\", "1:4", "ends with a backslash", "delete it"},
		{"blank before =", "A = 1", "1:1", "a blank stands before the =", "write A=1"},
		{"blank behind =", "A= 1", "1:1", "a blank stands behind A=", `A="1"`},
		{"two words", "A=a b", "1:5", `run "b" as a command`, `A="a b"`},
		{"colon", "A: 1", "1:1", "= is missing", `A="…"`},
		{"plus", "A+=1", "1:1", "+= is not understood", `A="$A…"`},
		{"digit first", "1A=x", "1:1", `"1A" is no variable's name`, "digits"},
		{"hyphen in the name", "A-B=x", "1:1", `"A-B" is no variable's name`, "underscores"},
		{"quoted name", `"A"=x`, "1:1", "is no variable's name", "letters"},
		{"list", "A=(1 2)", "1:3", "lists are not understood", `A="…"`},
		{"tilde", "A=~/x", "1:3", "home folder", "whole path"},
		{"tilde behind a colon", "A=/:~root", "1:5", "home folder", "whole path"},
		{"command", "\n  echo hello", "2:3", `"echo" is a command`, "put # before it"},
		{"if, and nothing below it", "if true\nthen\nA=1\nfi\nB=2", "1:1", `"if" begins what only a shell`, "alone"},
		{"function", "f() {\nA=1\n}", "1:1", "the function f", "delete"},
		{"background", "A=1 & B=2", "1:5", `"&" joins commands`, "quotes"},
		{"pipe", "A=1|cat", "1:4", `"|" joins commands`, "quotes"},
		{"redirection", "A=<file", "1:3", `"<" joins commands`, "quotes"},
		{"and", "A=1 && B=2", "1:5", `"&" joins commands`, "quotes"},
		{"semicolon alone", "; A=1", "1:1", "nothing stands before the semicolon", "delete"},
		{"two semicolons", "A=1;;", "1:5", "nothing stands before the semicolon", "delete"},
		{"export of no name", "export A B-C", "1:10", `"B-C" is no variable's name`, "export NAME=value"},
		{"readonly", "readonly A=1", "1:1", `"readonly" is a command`, "#"},
		{"set", "set -e", "1:1", `"set" is a command`, "#"},
		{"carriage return", "A=1\nB=2\r\nC=3\r\n", "2:4", "as on Windows", "sed"},
		{"byte order mark", "\ufeffA=1", "1:1", "byte order mark", "sed"},
		{"NUL", "A=\x001", "1:3", "control character 0x00", "text file"},
		{"escape", "A=1\x1b[0m", "1:4", "control character 0x1b", "text file"},
		{"test alone", "[ -f extra ]", "1:1", "only one test is understood", "[ ! -f FILE ] || . FILE"},
		{"test without its bracket", "[ -f extra && . extra", "1:1", "only one test is understood", "[ ! -f FILE ] || . FILE"},
		{"test of something else", `[ "$P" = x ] && . extra`, "1:1", "only one test is understood", "[ ! -f FILE ] || . FILE"},
		{"test the wrong way round", "[ ! -f extra ] && . extra", "1:1", "only one test is understood", "[ ! -f FILE ] || . FILE"},
		{"test of another file", "[ -f other ] && . extra", "1:1", "only one thing may depend", "[ ! -f FILE ] || . FILE"},
		{"assignment on a test", "[ -f extra ] && A=1", "1:1", "only one thing may depend", "[ ! -f FILE ] || . FILE"},
		{"more behind a test", "[ -f extra ] && . extra && A=1", "1:25", `"&" joins commands`, "quotes"},
		{"no such file", "A=1\n. none", "2:3", "there is no none", "into this file"},
		{"file that can not be read", ". pipe", "1:3", "pipe: this is no ordinary file", "into this file"},
		{"file without a name", ".", "1:1", ". wants the name of one file", ". FILE"},
		{"file with arguments", ". a b", "1:1", ". wants the name of one file", ". FILE"},
		{"long value", "A=" + strings.Repeat("x", 5000), "1:1", "longer than 4096 bytes", "quote"},
		{"value that grows", "A=12345678" + strings.Repeat("\nA=$A$A", 12), "11:1", "longer than 4096 bytes", "quote"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := shellvars.Parse("f", []byte(tt.text), options())
			if len(problems) == 0 {
				t.Fatal("it is accepted")
			}
			p := problems[0]
			if have := p.Source.String(); have != "f:"+tt.at || !strings.Contains(p.Text, tt.want) || !strings.Contains(p.Hint, tt.hint) {
				t.Errorf("%s %s | %s\nwant f:%s %s | %s", have, p.Text, p.Hint, tt.at, tt.want, tt.hint)
			}
			if len(problems) > 1 && tt.name != "value that grows" {
				t.Errorf("more problems than one:\n%v", problems)
			}
		})
	}
}

func TestWithoutOpenNoFileIsRead(t *testing.T) {
	_, problems := shellvars.Parse("f", []byte("[ -f x ] && . x"), shellvars.Options{})
	if len(problems) != 1 || !strings.Contains(problems[0].Text, "x is not read from here") {
		t.Errorf("%v", problems)
	}
}

func TestRefusedLineTakesNoOtherWithIt(t *testing.T) {
	vars, problems := shellvars.Parse("f", []byte("A=1\necho\nB=2\n. bad\nC=3\n. loop\nD=4\n"), options())
	if have := show(vars); have != "A=1|B=2|C=3|D=4" {
		t.Errorf("%s", have)
	}
	for i, want := range []string{`f:2:1: "echo"`, "bad:2:1: a blank", "loop:2:3: loop is being read already"} {
		if i >= len(problems) || !strings.HasPrefix(problems[i].Error(), want) {
			t.Fatalf("problems\n%v\nwant %d to be %s", problems, i, want)
		}
	}
}

func TestPlaces(t *testing.T) {
	tests := []struct {
		name, text, want string
		byte             int
	}{
		{"bare", "\nA=10.0.0.2,10.0.0.9", "f:2:12", 9},
		{"quoted", `A="10.0.0.2,10.0.0.9"`, "f:1:13", 9},
		{"behind a comment and another", "# x\nB=1 A='ab'", "f:2:9", 1},
		{"of two pieces", `A=a"b"`, "f:1:3", 1},
		{"with an escape", `A=a\bc`, "f:1:3", 2},
		{"of a variable", "B=12\nA=$B", "f:2:3", 1},
		{"of two lines", "A='1\n2'", "f:1:4", 2},
		{"empty", "A=", "f:1:3", 0},
		{"empty in quotes", `A=""`, "f:1:3", 0},
		{"on a joined line", "B=1\\\n A='x'", "f:2:5", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vars, problems := shellvars.Parse("f", []byte(tt.text), shellvars.Options{})
			a, ok := vars.Lookup("A")
			if !ok || len(problems) > 0 {
				t.Fatalf("%v", problems)
			}
			if have := a.Place(tt.byte).String(); have != tt.want {
				t.Errorf("byte %d is at %s, want %s", tt.byte, have, tt.want)
			}
		})
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	_, problems := shellvars.Parse("f", []byte(strings.Repeat("echo\n", 250)), shellvars.Options{})
	if len(problems) != 101 || !strings.Contains(problems[100].Text, "150 more lines") {
		t.Errorf("%d problems, the last %v", len(problems), problems[len(problems)-1])
	}
}

// TestShellAgrees has the shell itself as oracle for whatever is accepted.
func TestShellAgrees(t *testing.T) {
	for _, text := range []string{
		"A=1\nB=\"x $A\"'$A'\\$A\n", "A=a\\\nb\n", "A=\"a\\\n b\\x\\\"\" # c\n", "A='1 2' B=$A;C=${B}x\n", "export A=1 B='2  3'\n",
		"A=a#b B=#\n", "A=$\n", "A=\"$\"x\n", "A=~x~\\~\n", "A=*\n", "A='\n\n'\n", "A=1\\ \n", "A=\\\n\nB=1\n", "A=a\\\\\\\nb\n", "A=\"\\\\\\\n\"\n",
		"A=x=y:z%^+,@{1,2}!\n", "A=\"!a\"\n", "A=[a]\n", "A==\n", "A=1;B=2 ; C=3\n", "A=1 #;B=2\n", "A='#'\n", "A=\"\t\"\n",
	} {
		compare(t, text)
	}
}

// compare fails when the text is accepted and the shell finds other values.
func compare(t *testing.T, text string) {
	t.Helper()
	vars, problems := shellvars.Parse("f", []byte(text), shellvars.Options{})
	if len(problems) > 0 {
		return
	}
	file := filepath.Join(t.TempDir(), "vars")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `. "$0" >/dev/null` + "\n"
	var want strings.Builder
	for _, v := range vars.All() {
		script += fmt.Sprintf("printf '%%s=%%s|' %s \"$%s\"\n", v.Name, v.Name)
		fmt.Fprintf(&want, "%s=%s|", v.Name, v.Value)
	}
	cmd := exec.Command("/bin/sh", "-c", script, file)
	cmd.Env, cmd.Dir = []string{"PATH=/nonexistent"}, filepath.Dir(file) // nothing but the shell itself can be run
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != want.String() {
		t.Errorf("%q is\n%s\nand to the shell (%v)\n%s", text, want.String(), err, out)
	}
}

// FuzzParse looks for texts that hang, crash, or have places outside of themselves, and for values that the
// shell would not have found.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"A=1\nB=\"$A\"", "[ ! -f extra ] || . extra", "A='x\ny' # c", "export A=\\\n1;B=2", "A=`x`\nif", ". loop"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		vars, problems := shellvars.Parse("f", []byte(text), options())
		lines := strings.Split(text, "\n")
		for _, p := range problems {
			if p.Hint == "" || p.Text == "" || p.Source.File == "" {
				t.Errorf("half a problem: %+v", p)
			}
			if p.Source.File == "f" && p.Source.Line > 0 && (p.Source.Line > len(lines) || p.Source.Col < 1 || p.Source.Col > len(lines[p.Source.Line-1])+1) {
				t.Errorf("%q has no place %s (%s)", text, p.Source, p.Text)
			}
		}
		for _, v := range vars.All() {
			if len(v.Value) > 4096 || v.At.Line < 1 {
				t.Errorf("%+v", v)
			}
			for i := range v.Value {
				at := v.Place(i)
				if at.File != "f" || at == v.Place(0) {
					continue
				}
				if lines[at.Line-1][at.Col-1] != v.Value[i] {
					t.Errorf("%q: byte %d of %s is not at %s", text, i, v.Name, at)
				}
			}
		}
		if len(problems) == 0 && !strings.ContainsAny(text, ".P") { // no file, no preset
			safe := true
			for _, v := range vars.All() {
				safe = safe && strings.ToLower(v.Name) != v.Name && len(v.Name) < 3 // no variable of the shell's own
			}
			if safe {
				compare(t, text)
			}
		}
	})
}

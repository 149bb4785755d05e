package ledger_test

import (
	"bytes"
	"fmt"
	"testing"

	"berth/internal/ledger"
)

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	for i, record := range ledger.SampleRecords() {
		t.Run(fmt.Sprint("record ", i), func(t *testing.T) {
			again, err := ledger.RoundTrip(record)
			if err != nil || !bytes.Equal(again, record) {
				t.Errorf("%x came back as %x (%v)", record, again, err)
			}
		})
	}
}

// TestCutRecordsAreRefused cuts a record of one operation at every byte: none is taken for something shorter.
func TestCutRecordsAreRefused(t *testing.T) {
	for _, record := range ledger.SampleRecords()[2:] {
		for n := range record {
			if n == 1 {
				continue // a revision alone is a record
			}
			if again, err := ledger.RoundTrip(record[:n]); err == nil {
				t.Errorf("the first %d of %d bytes were taken for %x", n, len(record), again)
			}
		}
	}
}

func TestUnknownOperationIsRefused(t *testing.T) {
	if _, err := ledger.RoundTrip([]byte{1, 99, 0}); err == nil {
		t.Error("an operation of a newer version was taken for something")
	}
}

// FuzzRecord decodes anything: it never fails otherwise than by an error, and what it accepts is stable.
func FuzzRecord(f *testing.F) {
	for _, record := range ledger.SampleRecords() {
		f.Add(record)
	}
	f.Add([]byte{1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, record []byte) {
		once, err := ledger.RoundTrip(record)
		if err != nil {
			return
		}
		if len(once) > len(record)+8 {
			t.Errorf("%d bytes became %d", len(record), len(once))
		}
		twice, err := ledger.RoundTrip(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x, then %x (%v)", once, twice, err)
		}
	})
}

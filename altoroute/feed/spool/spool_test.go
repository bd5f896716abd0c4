// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("error %v", err)
	}
}

// What was committed is read again by another process, in all parts, and the
// files are for this user only.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "altoroute", "own")
	s := newSpool(t, folder)
	if sets, unusable := s.Sets(); sets != nil || unusable != nil {
		t.Errorf("before anything was written there are %v, %v", sets, unusable)
	}
	s.NewWriter().Discard()
	if _, err := os.Stat(filepath.Dir(folder)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was done on disk: %v", err)
	}
	made := drafts("1", "a")
	set := mustPut(t, s, made)
	if set.Sequence != 1 || len(set.Documents) != len(made) {
		t.Errorf("committed %+v", set)
	}
	for i, d := range made {
		d.Content = set.Documents[i].Content
		if d.Document != set.Documents[i] || d.Content.Size != int64(len(d.content)) {
			t.Errorf("document %d is %+v", i, set.Documents[i])
		}
	}
	if got := wants(t, folder, made)[0]; !reflect.DeepEqual(got, set) {
		t.Errorf("read %+v, want %+v", got, set)
	}
	err := filepath.WalkDir(filepath.Dir(folder), func(path string, d fs.DirEntry, _ error) error {
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if body, err := os.ReadFile(filepath.Join(folder, "set-1.json")); err != nil || strings.Contains(string(body), "token") {
		t.Errorf("the manifest gives the source's identity away: %s %v", body, err)
	}
}

// Where only one document has changed the others are not written again, and the
// numbers go on.
func TestReferences(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	first := mustPut(t, s, drafts("1", "a"))
	changed := drafts("1", "b")
	w := s.NewWriter()
	_, _ = w.Write(changed[1].content)
	content, err := w.Keep()
	if again, err2 := w.Keep(); err != nil || err2 != nil || again != content {
		t.Fatal(content, err, again, err2)
	}
	documents := slices.Clone(first.Documents)
	documents[1].Content = content
	second, err := commit(s, documents, Others{})
	w.Discard()
	if err != nil || second.Sequence != 2 {
		t.Fatal(second, err)
	}
	changed[2] = drafts("1", "a")[2]
	wants(t, folder, changed, drafts("1", "a"))
	if got := len(names(t, folder, documentPrefix)); got != 4 {
		t.Errorf("there are %d documents, want 4", got)
	}
	// Back to the first.
	third, err := commit(newSpool(t, folder), first.Documents, Others{})
	if err != nil || third.Sequence != 3 {
		t.Fatal(third, err)
	}
	wants(t, folder, drafts("1", "a"), changed)
}

// A set like the newest is no new one, but what was learned of it is stored.
func TestSameAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	mustPut(t, s, drafts("0", "a"))
	first := mustPut(t, s, drafts("1", "a"))
	path := filepath.Join(folder, "set-2.json")
	before, _ := os.Stat(path)
	documents := slices.Clone(first.Documents)
	if _, err := commit(s, documents, Others{}); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("the manifest was written again, and nothing is new")
	}
	documents[0].Validators.ETag = `"later"`
	documents[0].FetchedAt = documents[0].FetchedAt.Add(time.Hour)
	set, err := commit(s, documents, Others{})
	if err != nil || set.Sequence != 2 || !set.InForce.Equal(first.InForce) {
		t.Errorf("it is %+v, error %v", set, err)
	}
	got := wants(t, folder, drafts("1", "a"), drafts("0", "a"))[0]
	if !reflect.DeepEqual(got, set) || got.Documents[0].Validators.ETag != `"later"` {
		t.Errorf("read %+v, want %+v", got, set)
	}
	aside := &NotInForce{VersionTag: alto.VersionTag{ResourceID: "net", Tag: "2"}, Sums: []Sum{0, math.MaxUint64}, Since: time.Now()}
	held := &NotInForce{VersionTag: alto.VersionTag{ResourceID: "net", Tag: "3"}, Sums: []Sum{1}, Filter: math.MaxUint64, Since: time.Now(), Reasons: []string{"it moves <all> & more"}}
	coming := &NotInForce{VersionTag: alto.VersionTag{ResourceID: "net", Tag: "4"}, Sums: []Sum{1}, Since: time.Now(), Over: 10*time.Minute + 1}
	// Its documents are there as long as it is.
	w := s.NewWriter()
	_, _ = w.Write([]byte("costs to come"))
	content, err := w.Keep()
	if err != nil {
		t.Fatal(err)
	}
	coming.Documents = slices.Clone(documents)
	coming.Documents[2].Content, coming.Documents[2].Filter = content, 7
	held.Documents = slices.Clone(documents) // which are not to be had
	held.Documents[1].Content = Content{Size: 1}
	set, err = commit(s, documents, Others{aside, coming, held})
	w.Discard()
	if err != nil || set.Sequence != 2 || len(set.each()) != 3 {
		t.Errorf("it is %+v, error %v", set, err)
	}
	if got := wants(t, folder, drafts("1", "a"), drafts("0", "a"))[0]; !reflect.DeepEqual(got, set) {
		t.Errorf("read %+v, want %+v", got, set)
	}
	there := func() bool {
		_, err := os.Stat(filepath.Join(folder, content.file()))
		return err == nil
	}
	if !there() || len(set.Held.Documents) != 0 || len(set.Incoming.Documents) != 3 {
		t.Errorf("it is %+v", set)
	}
	if got := mustPut(t, s, drafts("1", "a")); got.Sequence != 2 || there() {
		t.Errorf("written again it is set %d", got.Sequence)
	}
}

// The same documents of another server, or at URLs that change, are no new set, so
// that the older ones stay. Where they are now is known.
func TestSameElsewhere(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	mustPut(t, s, drafts("0", "a"))
	first := mustPut(t, s, drafts("1", "a"))
	made := drafts("1", "a")
	for i := range made {
		d := &made[i].Document
		d.Name, d.MediaType = strings.Replace(d.Name, "alto", "alto2", 1), "application/json"
		d.Validators, d.FetchedAt = alto.Validators{ETag: `"2"`}, d.FetchedAt.Add(time.Hour)
		if d.Role == CostMap {
			d.ResourceID, d.Filter = "costs", 7
		}
	}
	set := mustPut(t, s, made)
	if set.Sequence != first.Sequence || !set.InForce.Equal(first.InForce) || set.Documents[1].Name != "https://alto2.example/cost/num" {
		t.Errorf("it is %+v", set)
	}
	if got := wants(t, folder, made, drafts("0", "a"))[0]; !reflect.DeepEqual(got, set) {
		t.Errorf("read %+v, want %+v", got, set)
	}
	for i, change := range []func([]Document){
		func(d []Document) { d[1], d[2] = d[2], d[1] },
		func(d []Document) { d[1].VersionTag = alto.VersionTag{ResourceID: "costs", Tag: "1"} },
		func(d []Document) {
			d[0].VersionTag.Tag = "2"
			d[1].DependsOn, d[2].DependsOn = d[0].VersionTag, d[0].VersionTag
		},
		func(d []Document) { d[1].Content = d[2].Content },
	} {
		before := set.Sequence
		documents := slices.Clone(set.Documents)
		change(documents)
		var err error
		if set, err = commit(s, documents, Others{}); err != nil || set.Sequence != before+1 {
			t.Fatalf("change %d: it is set %+v after %d, error %v", i, set, before, err)
		}
	}
}

// What JSON cannot hold does not come back as something else.
func TestNotUTF8(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	made := drafts("1", "a")
	made[0].Name = "/maps/\xff.json"
	made[0].Validators = alto.Validators{ETag: "\"\xe9\"", LastModified: "\xe9"}
	for range 2 {
		set := mustPut(t, newSpool(t, folder), made)
		if got := wants(t, folder, made)[0]; !reflect.DeepEqual(got, set) || got.Documents[0].Validators != (alto.Validators{}) || got.Documents[0].Name != "/maps/\uFFFD.json" {
			t.Errorf("read %+v, want %+v", got, set)
		}
	}
}

func TestRefusedSets(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "own")
	s := newSpool(t, folder)
	for word, change := range map[string]func([]draft) []draft{
		"no network map":              func(d []draft) []draft { return d[1:] },
		"second network map":          func(d []draft) []draft { return append(d, d[0]) },
		"documents[1]/depends_on":     func(d []draft) []draft { d[1].DependsOn.Tag = "2"; return d },
		"documents[0]/version_tag":    func(d []draft) []draft { d[0].VersionTag = alto.VersionTag{}; return d },
		`documents[2]/role is "cost"`: func(d []draft) []draft { d[2].Role = "cost"; return d },
		"year outside of range":       func(d []draft) []draft { d[0].FetchedAt = time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC); return d },
		"larger than 1048576 bytes":   func(d []draft) []draft { d[0].Validators.ETag = strings.Repeat("x", maxManifest); return d },
	} {
		if _, err := put(s, change(drafts("1", "a"))); err == nil || !strings.Contains(err.Error(), word) || !strings.HasPrefix(err.Error(), folder+": ") {
			t.Errorf("error %v, want one with %q", err, word)
		}
		if left := names(t, folder, ""); len(left) > 0 {
			t.Errorf("%s: there is %v", word, left)
		}
	}
	_, err := commit(s, []Document{drafts("1", "a")[0].Document}, Others{})
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "https://alto.example/net cannot be spooled: it was not written") {
		t.Errorf("error %v", err)
	}
}

// A writer that was kept can be used once, and one that was discarded never.
func TestWriter(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newSpool(t, folder)
	made := drafts("1", "a")[:1]
	w := s.NewWriter()
	_, _ = w.Write(made[0].content)
	made[0].Content, _ = w.Keep()
	if _, err := w.Write([]byte("more")); err == nil {
		t.Error("it can be written to after Keep")
	}
	w.Discard()
	w.Discard()
	if _, err := w.Keep(); err == nil {
		t.Error("it can be kept after Discard")
	}
	if _, err := commit(s, []Document{made[0].Document}, Others{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("what was discarded can be committed: %v", err)
	}
	w = s.NewWriter()
	_, _ = w.Write(made[0].content)
	w.Discard()
	if left := names(t, folder, ""); len(left) > 0 {
		t.Errorf("there is %v", left)
	}
	set := mustPut(t, s, made)
	if r, err := s.Open(set.Documents[0]); err != nil {
		t.Error(err)
	} else {
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("reading what is closed: %v", err)
		}
	}
	if len(s.held)+len(s.kept)+len(s.temps) > 0 {
		t.Errorf("forgotten: %v %v %v", s.held, s.kept, s.temps)
	}
	// No content at all is one too.
	made[0].content = nil
	w = s.NewWriter()
	defer w.Discard()
	made[0].Content, _ = w.Keep()
	if _, err := commit(s, []Document{made[0].Document}, Others{}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(made[0].Document)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || len(got) > 0 {
		t.Errorf("nothing is read as %q, %v", got, err)
	}
}

func TestOtherSource(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	mustPut(t, newSpool(t, folder), drafts("1", "a"))
	other, err := New(Config{Folder: folder, Source: "another"})
	if err != nil {
		t.Fatal(err)
	}
	sets, unusable := other.Sets()
	if len(sets) > 0 || len(unusable) != 1 || !errors.Is(unusable[0], ErrOtherSource) {
		t.Fatalf("there are %v, %v", sets, unusable)
	}
	want := filepath.Join(folder, "set-1.json") + ": it is of another source, with the network map https://alto.example/net: it is not used, and the next good set replaces it"
	if got := unusable[0].Error(); got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	if set := mustPut(t, other, drafts("2", "a")); set.Sequence != 2 {
		t.Errorf("it is set %d, want 2", set.Sequence)
	}
	if got := names(t, folder, ""); len(got) != 1+3 {
		t.Errorf("there is %v", got)
	}
}

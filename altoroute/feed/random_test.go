// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// shadow is what the file of a model holds.
type shadow struct {
	tag    string  // of the network map, also in a cost map
	cost   float64 // of a cost map
	reason Refusal // why the content is no good; empty when it is
}

// model says what must be in force, by the simplest means.
type model struct {
	files map[string]shadow
	set   string
}

// expect returns the set that must be in force and the reason of the refusal.
func (m *model) expect() (set string, reason Refusal) {
	net, cost := m.files["net"], m.files["cost"]
	switch {
	case net.reason != "":
		return m.set, net.reason
	case cost.reason != "":
		return m.set, cost.reason
	case net.tag != cost.tag:
		return m.set, Mismatch
	}
	m.set = net.tag + " num" + strconv.Itoa(int(cost.cost))
	return m.set, ""
}

// world is a feed of two files and its model.
type world struct {
	*subject
	*model
	folder *folder
	random *rand.Rand
	saved  map[string]shadow // what was moved away
	rows   []string
	steps  map[string]int // how often each kind of step was taken
}

func (w *world) content(name string) ([]byte, shadow) {
	sh := shadow{tag: strconv.Itoa(1 + w.random.IntN(2)), cost: float64(w.random.IntN(10))}
	data := networkDocument(sh.tag)
	if name == "cost" {
		data = costDocument(sh.tag, sh.cost, numerical)
	}
	switch w.random.IntN(8) {
	case 0:
		data, sh.reason = data[:w.random.IntN(len(data)-2)], Invalid
	case 1:
		data = zipped(data)
		data, sh.reason = data[:5+w.random.IntN(len(data)-6)], Invalid
	case 2:
		data = zipped(data)
	case 3:
		empty := network(sh.tag)
		empty.PIDs = nil
		if name == "net" {
			data, sh.reason = encoded(w.t, empty), Empty
		}
	}
	return data, sh
}

// step changes one thing, or just looks.
func (w *world) step() {
	name := []string{"net", "cost"}[w.random.IntN(2)]
	kind := []string{
		"replace", "replace", "replace", "write in place", "write in place", "touch",
		"remove", "move away", "put back", "put back", "watch", "tick", "tick", "tick",
	}[w.random.IntN(14)]
	w.steps[kind]++
	exists := w.files[name].reason != Unavailable
	switch {
	case kind == "replace":
		var data []byte
		data, w.files[name] = w.content(name)
		w.folder.put(name, data)
	case kind == "write in place":
		// As it comes, in the present tick of the clock.
		var data []byte
		data, w.files[name] = w.content(name)
		w.folder.must(os.WriteFile(w.folder.file(name), data, 0o600))
	case kind == "touch" && exists:
		w.folder.touch(name)
	case kind == "remove" && exists:
		w.folder.remove(name)
		w.files[name] = shadow{reason: Unavailable}
	case kind == "move away" && exists:
		w.folder.must(os.Rename(w.folder.file(name), w.folder.file(name+".saved")))
		w.saved[name], w.files[name] = w.files[name], shadow{reason: Unavailable}
	case kind == "put back" && w.saved[name].tag != "":
		w.folder.must(os.Rename(w.folder.file(name+".saved"), w.folder.file(name)))
		w.files[name], w.saved[name] = w.saved[name], shadow{}
	case kind == "watch":
		w.rows = []string{"a", []string{"b", "c", "addressless", "unheard-of"}[w.random.IntN(4)]}
		w.expect()
		stop, err := w.Watch(&watcherOf{rows: these(w.rows...)})
		if err != nil {
			w.t.Errorf("Watch: %v, but a good set is in force", err)
		}
		w.compare(kind)
		stop()
		w.rows = []string{"a"}
	case kind == "tick":
		w.tick()
	}
}

// tick looks, and once more, when nothing can be new.
func (w *world) tick() {
	w.expect()
	_ = turn(w.t.Context(), w.Feed)
	w.compare("tick")
	before := w.Status()
	_ = turn(w.t.Context(), w.Feed)
	w.compare("tick without a change")
	after := w.Status()
	if before.Maps != after.Maps || before.Updates != after.Updates || !sameError(before.Err, after.Err) {
		w.t.Errorf("a look without a change changed %+v to %+v", before, after)
	}
	if w.random.IntN(50) == 0 {
		// What was written in this very tick of the clock is read once more,
		// but not for ever.
		eventually(w.t, "a look that reads nothing", func() bool {
			before := w.reads()
			_ = turn(w.t.Context(), w.Feed)
			return slices.Equal(before, w.reads())
		})
	}
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

func (w *world) compare(when string) {
	set, reason := w.expect()
	status := w.Status()
	var got Refusal
	if status.Err != nil {
		got = refusalOf(status.Err)
	}
	if inForce := version(status.Maps); inForce != set || got != reason {
		w.t.Fatalf("after %s in force is %q (%s), want %q (%s): net %+v, cost %+v, error %v",
			when, inForce, got, set, reason, w.files["net"], w.files["cost"], status.Err)
	}
	if reason == "" && !status.Maps.Costs[0].Keeps(w.rows) {
		w.t.Fatalf("after %s the rows %v are not kept", when, w.rows)
	}
}

// Whatever happens to the files in whatever order, what is in force is what the
// model says.
func TestRandomInterleavings(t *testing.T) {
	const worlds, steps = 40, 250
	taken := make(map[string]int)
	updates, refusals := uint64(0), make(map[Refusal]uint64)
	for seed := range uint64(worlds) {
		d := newFolder(t)
		w := &world{folder: d, random: rand.New(rand.NewPCG(seed, 2)), saved: make(map[string]shadow), rows: []string{"a"}, steps: taken}
		w.model = &model{files: map[string]shadow{"net": {tag: "1"}, "cost": {tag: "1", cost: 1}}, set: "1 num1"}
		d.put("net", networkDocument("1"))
		d.put("cost", costDocument("1", 1, numerical))
		w.subject = watch(t, Config{Files: []string{d.file("net"), d.file("cost")}}, "a")
		for i := range steps {
			w.step()
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, i)
			}
		}
		status := w.Status()
		updates += status.Updates
		for reason, n := range status.Refusals {
			refusals[reason] += n
		}
	}
	t.Logf("%d updates, refusals %v, steps %v", updates, refusals, taken)
	for _, reason := range []Refusal{Unavailable, Invalid, Empty, Mismatch} {
		if refusals[reason] < 50 || updates < 200 {
			t.Errorf("too little came about: %d updates, refusals %v", updates, refusals)
		}
	}
}

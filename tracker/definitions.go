package tracker

import (
	"sync"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
)

// definitions are those that are known. The first that is learned of a version stands.
type definitions struct {
	mu      sync.Mutex
	byName  map[string]map[int]*choreo.Definition
	changed chan struct{} // closed at the next one that is new
}

func newDefinitions(sagas []choreo.AnySaga) *definitions {
	d := &definitions{byName: map[string]map[int]*choreo.Definition{}, changed: make(chan struct{})}
	for _, s := range sagas {
		d.add(s.Def())
	}
	return d
}

func (d *definitions) add(def *choreo.Definition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	versions := d.byName[def.Name()]
	if versions == nil {
		versions = map[int]*choreo.Definition{}
		d.byName[def.Name()] = versions
	}
	if versions[def.Version()] != nil {
		return
	}
	versions[def.Version()] = def
	close(d.changed)
	d.changed = make(chan struct{})
}

// learn adds what a contract holds, and returns why some of it cannot be read.
func (d *definitions) learn(contract *definition.Contract) []error {
	var errs []error
	for i := range contract.Definitions {
		doc, err := definition.Parse(contract.Definitions[i].String(), []byte(contract.Definitions[i].Document))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.add(doc.Definition)
	}
	return errs
}

func (d *definitions) get(saga string, version int) *choreo.Definition {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byName[saga][version]
}

// sagas returns the names that are known, and a channel that is closed when something is new.
func (d *definitions) sagas() (names []string, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.byName {
		names = append(names, name)
	}
	return names, d.changed
}

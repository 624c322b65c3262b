package sqltext

import (
	"encoding/json"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// Row is a row that a statement of Pages yields.
type Row struct {
	Place    int64
	Saga, ID []byte
	Snapshot []byte
}

// Read reads the page. run runs a statement and hands over each of its rows.
func (l *List) Read(run func(s Statement, row func(Row) error) error) (tracker.Page, error) {
	var page tracker.Page
	var last facts.Key
	more := false
	limit := l.query.Limit
	for _, statement := range l.Pages() {
		// One more is asked for, which says that another page follows.
		err := run(statement(limit+1-len(page.Sagas)), func(r Row) error {
			if len(page.Sagas) == limit {
				more = true
				return nil
			}
			s := new(tracker.Snapshot)
			if err := json.Unmarshal(r.Snapshot, s); err != nil {
				return err
			}
			page.Sagas = append(page.Sagas, s)
			last = facts.Key{Time: r.Place, Saga: string(r.Saga), ID: string(r.ID)}
			return nil
		})
		if err != nil {
			return tracker.Page{}, err
		}
		if more {
			break
		}
	}
	var err error
	if more {
		page.Next, err = l.query.Cursor(last)
	}
	return page, err
}

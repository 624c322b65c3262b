package tracker

import (
	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// decoder reads events for one reader.
type decoder struct{}

func newDecoder() decoder { return decoder{} }

// Decode reads an event from a record's headers.
func (decoder) Decode(rec *choreo.Record) (*choreo.Event, error) { return topics.Decode(rec) }

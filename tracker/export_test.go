package tracker

// JSONReader is what the tracker reads snapshots with.
type JSONReader struct{ r *jsonReader }

// NewJSONReader returns a reader.
func NewJSONReader() JSONReader { return JSONReader{newJSONReader()} }

// Read reads a snapshot.
func (r JSONReader) Read(data []byte) (*Snapshot, error) { return r.r.read(data) }

// Fast reads a snapshot without encoding/json, and returns nil where that is not possible.
func (r JSONReader) Fast(data []byte) *Snapshot { return r.r.fast(data) }

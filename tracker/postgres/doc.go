// Package postgres is a read model of the tracker in PostgreSQL 14 or newer: several trackers
// write to it, and any process may ask it. It needs no extension, but the language PL/pgSQL, which every
// database has unless somebody has dropped it.
//
// Writers of the same sagas wait for each other for the length of a Put, and take their locks in
// one order: for a moment, two trackers may fold the same partition.
//
// A page costs what its rows cost, whatever the order, also where a filter chooses few sagas by
// saga, step, service, code or time, or any by status. A filter that chooses many, of which the
// first pages hold none, reads on until it finds some. A search reads all sagas that
// the other fields choose, since it finds parts of words.
//
// A count reads no saga, whatever it is by: triggers keep how many sagas there are of each class, which
// is all that have saga, version, status, steps, services and codes in common. It costs what the classes
// are, so that error codes should be few. A count by a time or a search reads all sagas that it chooses.
//
// The column snapshot holds the JSON that the tracker topic has, for one's own queries:
//
//	SELECT snapshot->>'status', count(*) FROM choreo_tracker_saga GROUP BY 1
package postgres

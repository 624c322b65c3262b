// Package sqlite is a read model of the tracker in a file of SQLite: for one tracker, or for
// several processes of one machine. Answers do not wait for writers, nor writers for answers,
// since the file has a write-ahead log.
//
// A power cut may take back the last commits, the snapshots together with the positions that they
// stand for: the tracker then folds those events again.
//
// A page costs what its rows cost, whatever the order, also where a filter chooses few sagas by
// saga, step, service, code or time, or any by status. A filter that chooses many, of which the
// first pages hold none, reads on until it finds some. A search reads all sagas that
// the other fields choose, since it finds parts of words.
//
// A count reads no saga, whatever it is by: triggers keep how many sagas there are of each class, which
// is all that have saga, version, status, steps, services and codes in common. It costs what the classes
// are, so that error codes should be few. A count by a time or a search reads all sagas that it chooses.
package sqlite

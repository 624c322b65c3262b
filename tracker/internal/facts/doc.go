// Package facts is what the read models have in common: which facts of a snapshot a query
// asks for, and the checked form of a query, with its cursor.
package facts

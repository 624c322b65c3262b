// Package models opens the read model that a tracker is told to keep snapshots in.
package models

// Package memory is the read model of a tracker that needs no database: snapshots in memory,
// packed, with columns beside them that queries scan. It holds one million sagas in some
// hundred megabytes, and answers any query over them within milliseconds.
package memory

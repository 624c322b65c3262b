// Package schema turns payloads into bytes and back. It knows nothing of sagas.
package schema

// Package shelf is what registries have in common that keep their schemas themselves: what a
// schema must be like to be taken in, by what it is told from others, and the subjects with
// their versions. It is not safe for concurrent use: who embeds it locks.
package shelf

// Command choreo is the command line of Choreo: it checks definitions and schemas before
// anything runs, draws and documents them, and makes the topics that sagas need.
//
//	go install github.com/choreo-go/choreo/cmd/choreo@latest
//	choreo help
//
// A command is a noun and a verb, such as "choreo topics plan". What it found is on the
// standard output, as text of 80 columns or, by -o json and -o jsonl, for programs; all else
// is on standard error. The exit code is 0 where everything is well, 1 for an error or a
// failed check, 2 where the command makes no sense, 3 where what was named does not exist, 4
// where a saga ended compensated or failed, 5 where nobody answered in time.
package main

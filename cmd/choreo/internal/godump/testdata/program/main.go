// Command program can't be imported.
package main

func main() {}

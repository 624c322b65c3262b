package sim

// bug is a fault that is planted to see whether it is found.
type bug struct{}

var plantedBugs = map[string]*bug{}

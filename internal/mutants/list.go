package main

// The kept list, room by room. A good fault is one that somebody could make: a bound
// that is off by one, a call that is left out, a state that comes second, an error that
// is lost.

// mutants returns the list in the order in which it is tried.
func mutants() []mutant {
	var all []mutant
	for _, room := range [][]mutant{spaceMutants, nameMutants, formatMutants, logMutants, readerMutants, writerMutants, removalMutants, copyMutants, deviceMutants, cacheMutants, commandMutants} {
		all = append(all, room...)
	}
	return all
}

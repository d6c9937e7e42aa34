package main

// The list, room by room. A good fault is a likely mistake: a bound that is off by one, a
// missing call, a forgotten state, a lost error.

// mutants returns the list in the order in which it is tried.
func mutants() []mutant {
	var all []mutant
	for _, room := range [][]mutant{spaceMutants, nameMutants, formatMutants, logMutants, readerMutants, writerMutants, removalMutants, queueMutants, compactMutants, reuseMutants, copyMutants, deviceMutants, severalMutants, cacheMutants, trustMutants, commandMutants} {
		all = append(all, room...)
	}
	return all
}

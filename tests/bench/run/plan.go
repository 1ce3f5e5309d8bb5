package main

import "time"

// plan is how much is measured.
type plan struct {
	rounds      int           // of each handshake row; many short ones, so that what else runs hits all alike
	round       time.Duration // how long one variant is under load in each
	coldRounds  int           // of each cold row
	coldNames   int           // names asked for once, in each round
	sizes       []int         // names in the caches, at which memory and handshakes are measured
	memorySize  int           // the one of sizes that the target is about
	starts      int           // of each kind of directory
	files       int           // in the full directory
	idle        time.Duration // before memory is read
	sizeRound   time.Duration // handshakes at each size
	fullCommand bool          // commands that take long are run too
}

// ecdsaNames is how many names the ECDSA row asks for in turn.
const ecdsaNames = 1000

// quick fits into three minutes on two cores, and is good for noticing a regression.
func quick() plan {
	return plan{
		rounds: 12, round: 400 * time.Millisecond,
		coldRounds: 3, coldNames: 1000,
		sizes: []int{1_000, 5_000}, memorySize: 5_000,
		starts: 3, files: 20_000,
		idle: 1500 * time.Millisecond, sizeRound: time.Second,
	}
}

// full is what published figures come from.
func full() plan {
	return plan{
		rounds: 40, round: 750 * time.Millisecond,
		coldRounds: 7, coldNames: 4000,
		sizes: []int{1_000, 10_000, 40_000, 100_000}, memorySize: 40_000,
		starts: 11, files: 1_000_000,
		idle: 5 * time.Second, sizeRound: 3 * time.Second,
		fullCommand: true,
	}
}

// names is how many the ECDSA origin has to hold.
func (p plan) names() int {
	cold := (p.coldRounds + 1) * p.coldNames
	return max(ecdsaNames, cold, p.sizes[len(p.sizes)-1]) + 1
}

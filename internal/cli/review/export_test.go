package review

const TroublesWithin = problemsTimeout

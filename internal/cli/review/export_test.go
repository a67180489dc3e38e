package review

const TroublesWithin = troublesWithin

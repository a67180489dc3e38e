package access

const LeastTokenID = leastTokenID

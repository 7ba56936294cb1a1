"""What each mixer costs, one file a mechanism; `dispatch` finds the file of a record.

Every mechanism says the same things of its record, under the same names:

    PART              the part of the parameters it is counted under
    weights           matrix weights: what a token is multiplied by
    vectors           all other parameters: biases, norms, decays
    flops_per_pair    FLOPs of one (query, key) pair; 0 where no pairs are looked at
    step_flops        FLOPs of one token's step through a recurrent state
    token_elements    elements cached for each token
    state_elements    elements kept for a sequence of any length
"""

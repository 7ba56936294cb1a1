"""What each feed-forward part costs, one file a mechanism; `dispatch` finds the file of
a record.

Every mechanism says the same things of its record, under the same names:

    weights         matrix weights that one token is multiplied by
    params          all parameters, by part
    idle_params     parameters that one token does not visit
    weights_read    matrix weights that a pass of a batch of tokens reads
"""

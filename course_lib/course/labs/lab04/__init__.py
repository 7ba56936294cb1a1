"""Lab 4: route, dispatch, bound, balance and slim a mixture of experts."""

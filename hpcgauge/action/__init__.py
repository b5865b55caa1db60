"""Actions: values and gradients on links, sums with weights, actions of transformed links."""

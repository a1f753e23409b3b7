"""The dialogue model over many tasks at once, with hand-written first and second derivatives.

Autograd would record every elementwise operation of every time step, twice. Here, the coefficients of the recurrence
are computed for all time steps together, the recurrence itself is one matrix product and one or two elementwise
operations per step, and the Hessian-vector product reuses results of the gradient.

Shapes are `[tasks, time, batch, ...]` throughout. A weight is *shared* by all tasks (its shape in the model) or
*stacked* (one more dimension in front, `[tasks, ...]`). `None` stands for a tangent that is zero.
"""

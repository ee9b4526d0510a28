// ParameterState

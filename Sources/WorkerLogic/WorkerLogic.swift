// WorkerLogic

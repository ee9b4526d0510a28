// StoreLogic

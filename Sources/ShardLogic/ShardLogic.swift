// ShardLogic

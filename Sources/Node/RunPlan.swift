import LCCheckpoint
import MachineCore
import ParameterState
import Training

/// Everything that the roles of one run have to agree on, taken from its configuration.
public struct RunPlan: Sendable {
    public var settings: RunSettings
    public var shape: ModelShape
    public var optimizer: OptimizerKind
    public var codec: CodecSettings
    public var slotCodec: CodecSettings
    /// What a delta brings up to date; nil for everything.
    public var selection: PartialSelection?
    public var seed: UInt64
    /// Samples per worker and step.
    public var batch: Int
    public var data: DataKind
    public var dataPath: String?

    public init(
        settings: RunSettings, shape: ModelShape, optimizer: OptimizerKind, codec: CodecSettings,
        slotCodec: CodecSettings, selection: PartialSelection? = nil, seed: UInt64, batch: Int,
        data: DataKind, dataPath: String?
    ) {
        self.settings = settings
        self.shape = shape
        self.optimizer = optimizer
        self.codec = codec
        self.slotCodec = slotCodec
        self.selection = selection
        self.seed = seed
        self.batch = batch
        self.data = data
        self.dataPath = dataPath
    }

    /// Float32 values of the whole model.
    public var elements: Int { shape.parameters.reduce(0) { $0 + $1.count } }

    public func range(ofShard shard: Int) -> Range<Int> {
        Placement.range(ofShard: shard, shards: settings.shards, elements: elements)
    }

    /// A shard's state before anything is restored or initialized.
    public func makeShardState(_ shard: Int) -> ShardState {
        ShardState(
            range: range(ofShard: shard), optimizer: optimizer, codec: codec, slotCodec: slotCodec,
            selection: selection, checkpointEvery: settings.checkpointEvery)
    }
}

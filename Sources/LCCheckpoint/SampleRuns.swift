/// Runs of neighbours, evenly spread over a vector.
struct SampleRuns {
    /// What is taken of a vector that has more; a smaller one is quicker looked at whole, once.
    static let least = 4096
    /// More doesn't tell the largest deltas much better.
    static let most = 1 << 16
    private static let run = 1024
    /// As long as each other.
    let ranges: [Range<Int>]
    /// Elements of each.
    let length: Int

    var elements: Int { ranges.count * length }

    /// - Parameter most: elements to take, if there are more.
    init(count: Int, most: Int) {
        guard count > most else {
            (ranges, length) = ([0..<count], count)
            return
        }
        let length = SampleRuns.run
        let runs = max(2, most / length)
        let step = (count - length) / (runs - 1)
        ranges = (0..<runs).map { $0 * step..<($0 * step + length) }
        self.length = length
    }
}

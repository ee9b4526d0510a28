/// When a child that ended is started again.
///
/// The first restart is immediate, because recovery time counts; a program that keeps dying right after its
/// start gets longer and longer pauses, and at last none.
struct RestartPolicy: Sendable {
    /// A life shorter than this is a quick death.
    var quickDeath = Duration.seconds(1)
    /// A life at least this long makes up for all quick deaths before it.
    var reset = Duration.seconds(10)
    var firstPause = Duration.milliseconds(100)
    var longestPause = Duration.seconds(2)
    /// With this many quick deaths the child isn't started again.
    var quickDeathLimit = 20

    /// The pause before the next start, or nil to give up; counts the death in `quickDeaths`.
    func pause(lived: Duration, quickDeaths: inout Int) -> Duration? {
        if lived >= reset { quickDeaths = 0 }
        guard lived < quickDeath else { return .zero }
        quickDeaths += 1
        guard quickDeaths < quickDeathLimit else { return nil }
        guard quickDeaths > 1 else { return .zero }
        var pause = firstPause
        for _ in 2..<quickDeaths where pause < longestPause { pause *= 2 }
        return min(pause, longestPause)
    }
}

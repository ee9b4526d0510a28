/// A drill as JUnit XML, for build servers: each check is a test case, and so is the drill itself.
struct JUnit {
    let result: DrillResult

    var xml: String {
        var cases: [String] = []
        let seconds = result.wallMilliseconds / 1000
        switch result.verdict {
        case .passed: cases.append(testCase("drill", seconds, ""))
        case .failed:
            cases.append(testCase("drill", seconds, "<failure message=\"\(escaped(result.reason))\"/>"))
        case .notRun, .broken:
            let kind = result.verdict.rawValue
            cases.append(
                testCase("drill", seconds, "<error type=\"\(kind)\" message=\"\(escaped(result.reason))\"/>"))
        }
        for check in result.checks {
            switch check.outcome {
            case .held: cases.append(testCase(check.name, 0, ""))
            case .broken:
                cases.append(testCase(check.name, 0, "<failure message=\"\(escaped(check.evidence))\"/>"))
            case .unknown:
                cases.append(
                    testCase(
                        check.name, 0, "<error type=\"unknown\" message=\"\(escaped(check.evidence))\"/>"))
            }
        }
        let failures = cases.filter { $0.contains("<failure") }.count
        let errors = cases.filter { $0.contains("<error") }.count
        return """
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuite name="\(escaped(result.name))" tests="\(cases.count)" failures="\(failures)" errors="\(errors)" time="\(seconds)">
            \(cases.joined(separator: "\n"))
            </testsuite>

            """
    }

    private func testCase(_ name: String, _ seconds: Double, _ body: String) -> String {
        let open =
            "<testcase classname=\"\(escaped(result.name))\" name=\"\(escaped(name))\" time=\"\(seconds)\""
        return body.isEmpty ? open + "/>" : "\(open)>\(body)</testcase>"
    }
}

/// The report as one HTML file that needs nothing from outside.
struct Page {
    let report: Report

    var html: String {
        """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(escaped(report.subject.title))</title>
        <style>\(PageStyle.css)</style></head><body><main>
        <header><p class="kind">varve bench \(report.subject.name)</p><h1>\(escaped(report.subject.title))</h1>
        <p class="about">\(escaped(report.subject.about))</p>
        \(source(report.command))</header>
        \(headline)
        \(report.sections.map(section).joined(separator: "\n"))
        <footer>Written by varve. Tables are beside this file as CSV, and together as \(report.subject.name).json.</footer>
        </main></body></html>

        """
    }

    /// Experiments that stand by themselves are not compared with the paper's figures.
    private var headline: String {
        report.headline.rows.isEmpty ? "" : "<section>\(table(report.headline))</section>"
    }

    private func source(_ command: String) -> String {
        """
        <p class="source"><code>\(escaped(command))</code><br>seed \(report.seed), \(escaped(report.machine))</p>
        """
    }

    private func section(_ section: Section) -> String {
        let text = section.text.map { "<p>\(escaped($0))</p>" }.joined(separator: "\n")
        let charts = section.charts.map { "<figure>\($0.html)</figure>" }.joined(separator: "\n")
        return """
            <section id="\(escaped(section.id))"><h2>\(escaped(section.title))</h2>
            \(text)
            \(charts)
            \(section.tables.map(table).joined(separator: "\n"))
            \(source(section.command))
            </section>
            """
    }

    private func table(_ table: Table) -> String {
        let heads = table.columns.enumerated().map { index, column in
            let isNumber = table.rows.first?[index].isNumber ?? false
            let timing = column.isTiming ? " <small>timing</small>" : ""
            return
                "<th scope=\"col\"\(isNumber ? " class=\"number\"" : "")>\(escaped(column.name))\(timing)</th>"
        }.joined()
        let rows = table.rows.map { row in
            "<tr>" + row.map(cell).joined() + "</tr>"
        }.joined(separator: "\n")
        let body = """
            <div class="wide"><table><thead><tr>\(heads)</tr></thead>
            <tbody>
            \(rows)
            </tbody></table></div>
            """
        guard table.isDetail else { return "<h3>\(escaped(table.title))</h3>\(body)" }
        guard table.rows.count > Self.printedRows else {
            return "<details><summary>\(escaped(table.title))</summary>\(body)</details>"
        }
        return """
            <details class="long"><summary>\(escaped(table.title))</summary>\(body)</details>
            <p class="printed">\(escaped(table.title)): \(table.rows.count) rows, in tables/\(escaped(table.id)).csv</p>
            """
    }

    /// Longer tables would fill the print with pages that nobody reads.
    private static let printedRows = 250

    private func cell(_ value: Value) -> String {
        switch value {
        case .verdict(let holds):
            "<td><span class=\"badge \(holds ? "good" : "bad")\">\(value.shown)</span></td>"
        case .integer, .number: "<td class=\"number\">\(value.shown)</td>"
        case .text: "<td>\(escaped(value.shown))</td>"
        }
    }
}

/// Text as it stands in HTML and SVG, in attributes too.
func escaped(_ text: String) -> String {
    var result = ""
    result.reserveCapacity(text.utf8.count)
    for character in text.unicodeScalars {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        default: result.unicodeScalars.append(character)
        }
    }
    return result
}

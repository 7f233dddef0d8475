/** Colours of a terminal, one per process name in order of appearance. */
const colours = [36, 32, 33, 35, 34, 96, 92, 93]
const width = 15

/** Puts the name of its process before each line, aligned, coloured where a person looks on. */
export function linePrinter(stream: NodeJS.WriteStream): (name: string, line: string) => void {
  const seen: string[] = []
  return (name, line) => {
    if (!seen.includes(name)) seen.push(name)
    const label = name.padEnd(width)
    const colour = colours[seen.indexOf(name) % colours.length]
    stream.write(stream.isTTY ? `\u001b[${colour}m${label}\u001b[0m ${line}\n` : `${label} ${line}\n`)
  }
}

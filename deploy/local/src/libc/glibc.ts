/** What the embedded MongoDB engine was linked against. */
export const neededGlibc = '2.38'

/** The C library this process runs on, or nothing where it is not glibc (musl, macOS). */
export function glibcVersion(): string | undefined {
  const { report } = process
  // Without this the report looks up the name of every network address, which can take seconds.
  Object.assign(report, { excludeNetwork: true })
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header?.glibcVersionRuntime
}

/** Compares dotted versions number by number: 2.9 is older than 2.38. */
export function isAtLeast(version: string, minimum: string): boolean {
  const [have, want] = [version, minimum].map((text) => text.split('.').map(Number)) as [number[], number[]]
  for (const [index, wanted] of want.entries()) {
    const found = have[index] ?? 0
    if (found !== wanted) return found > wanted
  }
  return true
}

/** Reads the version from `ld.so --version` or from a package version such as `2.41-12+deb13u4`. */
export function versionIn(text: string): string | undefined {
  return /\b(\d+\.\d+)\b/.exec(text)?.[1]
}

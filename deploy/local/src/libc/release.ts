/** The release whose libc6 is new enough, by the release that this machine runs. */
const nextReleases: Record<string, string> = {
  bullseye: 'trixie',
  bookworm: 'trixie',
  focal: 'noble',
  jammy: 'noble',
  lunar: 'noble'
}

export interface Release {
  suite: string
  /** Undefined where we know none. */
  next: string | undefined
}

/** Reads `/etc/os-release`. Derivatives name their base in UBUNTU_CODENAME or DEBIAN_CODENAME. */
export function releaseOf(osRelease: string): Release | undefined {
  const fields = new Map(osRelease.split('\n').map(readLine))
  const suite = ['UBUNTU_CODENAME', 'DEBIAN_CODENAME', 'VERSION_CODENAME'].map((key) => fields.get(key)).find(Boolean)
  return suite ? { suite, next: nextReleases[suite] } : undefined
}

function readLine(line: string): [string, string] {
  const [key = '', ...rest] = line.split('=')
  return [key, rest.join('=').replace(/^(["'])(.*)\1$/, '$2')]
}

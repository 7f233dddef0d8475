import { type Static, Type } from '@fleetgate/kit'

/** A release that hosts fetch themselves where the control machine has no file of its own, as `profile.json` tells of it. */
export const Release = Type.Object({
  version: Type.String(),
  /** Of an archive (tar.gz) with the program in it; `{version}` and `{arch}` stand for the two. */
  url: Type.String(),
  /** SHA-256 of the archives by processor, as releases name it. */
  sha256: Type.Record(Type.String(), Type.String())
})

/** What an operator wants in place of what the profile says. */
export interface ReleaseWish {
  url?: string | undefined
  version?: string | undefined
  /** `amd64=<SHA-256>,arm64=<SHA-256>`. */
  sha256?: string | undefined
}

/** What hosts are told of it. */
export interface Download {
  version: string
  /** By processor. */
  archives: Record<string, { url: string; sha256: string }>
  /** Why there are none. */
  problem: string
}

const withinMs = 10_000
const mostRedirects = 5
const isSecure = (url: string) => url.startsWith('https://')

/**
 * Answers the archives of a release with their checksums: those that were given, those of the profile for its own version, else those
 * that stand in SHA256SUMS beside the archives. That is read over https only, because nothing else says whose they are, and here, because
 * not every program of a host looks at certificates. Throws at once for settings by which no checksum can be had.
 */
export function createDownload(release: Static<typeof Release>, wish: ReleaseWish = {}): () => Promise<Download> {
  const version = (wish.version ?? release.version).replace(/^v/, '')
  const pattern = wish.url ?? release.url
  const urlOf = (processor: string) => pattern.replaceAll('{version}', version).replaceAll('{arch}', processor)
  const given = wish.sha256 ? sumsGiven(wish.sha256) : version === release.version ? release.sha256 : undefined
  const list = new URL('SHA256SUMS', urlOf('any')).href
  if (!given && !isSecure(list))
    throw new Error(`NATS_SERVER_SHA256 must be set: without https nobody says whose the checksums of ${version} are`)
  let known = given

  function archivesBy(sums: Record<string, string>): Download['archives'] {
    return Object.fromEntries(Object.entries(sums).map(([arch, sha256]) => [arch, { url: urlOf(arch), sha256 }]))
  }

  return async () => {
    try {
      known ??= sumsIn(await read(list), Object.keys(release.sha256), urlOf)
      return { version, archives: archivesBy(known), problem: '' }
    } catch (error) {
      const { message, cause } = error as Error
      const reason = cause instanceof Error ? cause.message : message
      return { version, archives: {}, problem: `the checksums cannot be read from ${list}: ${reason}` }
    }
  }
}

function sumsGiven(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((pair) => pair.split('=') as [string, string]))
}

/** Lines of `sha256sum`: a checksum, a blank, a blank or `*`, and the name of a file. */
function sumsIn(text: string, processors: string[], urlOf: (processor: string) => string): Record<string, string> {
  const lines = text.split('\n').map((line) => /^([0-9a-f]{64}) [ *](\S+)\s*$/.exec(line))
  const sums = new Map(lines.flatMap((line) => (line ? [[line[2], line[1] as string] as const] : [])))
  const found = processors.flatMap((processor) => {
    const sum = sums.get(new URL(urlOf(processor)).pathname.split('/').at(-1))
    return sum === undefined ? [] : [[processor, sum] as const]
  })
  if (found.length === 0) throw new Error('it does not name the archives')
  return Object.fromEntries(found)
}

async function read(first: string): Promise<string> {
  const signal = AbortSignal.timeout(withinMs)
  let url = first
  for (let followed = 0; followed <= mostRedirects; followed++) {
    if (!isSecure(url)) throw new Error(`it leads to ${url}, which is not https`)
    const answer = await fetch(url, { redirect: 'manual', signal })
    const next = answer.status >= 300 && answer.status < 400 ? answer.headers.get('location') : null
    if (!next) {
      if (answer.ok) return answer.text()
      throw new Error(`it answers ${answer.status}`)
    }
    await answer.body?.cancel()
    url = new URL(next, url).href
  }
  throw new Error(`it leads on more than ${mostRedirects} times`)
}

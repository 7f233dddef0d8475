import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Cluster, Host, HostStatus } from '../src/clusters/cluster.js'
import { checkRemoval, checkSize } from '../src/clusters/rules.js'
import { type Category, loadProfiles, type Role } from '../src/profiles/profile.js'

const profile = loadProfiles(fileURLToPath(new URL('../../profiles', import.meta.url)), {}).get('nats')

/** Roles by their first letters, in small where the host does not run. */
function cluster(category: Category, letters: string): Cluster {
  const roles: Record<string, Role> = { M: 'master', S: 'shared', P: 'pureslave' }
  const hosts = [...letters].map((letter, index): Partial<Host> => {
    const status: HostStatus = letter === letter.toUpperCase() ? 'RUNNING' : 'FAILED'
    return { id: String(index), role: roles[letter.toUpperCase()] as Role, status }
  })
  return { category, profile: 'nats', hosts } as Cluster
}

/** The code of the refusal, or how many go. */
function removed(category: Category, letters: string, ...ids: number[]): string | number {
  try {
    return checkRemoval(cluster(category, letters), new Set(ids.map(String)), profile).length
  } catch (error) {
    return (error as { details: { wireCode: string } }).details.wireCode
  }
}

t.test('so many hosts must stay as the category needs, running, and shared', (t) => {
  t.equal(removed('compact', 'MSP', 2), 1)
  t.equal(removed('compact', 'MSP', 1), 'E50018', 'none shared')
  t.equal(removed('compact', 'MS', 1), 'E50018')
  t.equal(removed('compact', 'MSs', 1), 'E50018', 'what does not run does not count')
  t.equal(removed('compact', 'MSs', 2), 1, 'and may always go')
  t.equal(removed('ha', 'MMMSSP', 5), 1)
  t.equal(removed('ha', 'MMMSSP', 4), 'E50018', 'one shared')
  t.equal(removed('ha', 'MMMSSS', 4), 1)
  t.equal(removed('ha', 'MMMSS', 4), 'E50018')
  t.equal(removed('ha', 'MMMSSPP', 4, 5, 6), 'E50018', 'four in all')
  t.end()
})

t.test('hosts that are not there are named before anything else is looked at', (t) => {
  t.equal(removed('compact', 'MS', 7), 'E50104')
  t.equal(removed('compact', 'MS', 0, 1, 7), 'E50104')
  t.equal(removed('compact', 'MSS', 0), 'E50105')
  t.end()
})

t.test('a new cluster has at least what its category needs', (t) => {
  const size = (category: Category, master: number, shared: number, pureslave = 0) => {
    try {
      return checkSize(category, { master, shared, pureslave })
    } catch (error) {
      return (error as { details: { field: string } }).details.field
    }
  }
  t.equal(size('compact', 1, 1), undefined)
  t.equal(size('compact', 0, 2), 'masterNodes')
  t.equal(size('compact', 2, 1), 'masterNodes')
  t.equal(size('compact', 1, 0, 3), 'sharedNodes')
  t.equal(size('ha', 3, 2), undefined)
  t.equal(size('ha', 5, 2), undefined)
  t.equal(size('ha', 3, 1, 4), 'sharedNodes')
  t.equal(size('ha', 4, 2), 'masterNodes')
  t.equal(size('ha', 1, 4), 'masterNodes')
  t.end()
})

import { AppError } from '@fleetgate/contracts'
import t from 'tap'
import { connectionOptions } from '../src/connectionOptions.js'
import { containsPattern, isDuplicateKey, toConflict } from '../src/index.js'

t.test('a contains pattern takes every character for itself and no notice of case', async (t) => {
  for (const text of ['.*', 'a+b', '(x)', '[a-z]', '^$', 'a|b', '\\d', '{1}', '/', 'a-b', '$where', 'a\0b']) {
    t.match(`before ${text} after`, containsPattern(text))
    t.notMatch('zzz', containsPattern(text), text)
  }
  t.notOk(containsPattern('a\0b').source.includes('\0'), 'the database ends a pattern at NUL')
  t.match('PRESS-1', containsPattern('press'))
  t.notMatch('pressX1', containsPattern('press.1'))
})

t.test('a duplicate key becomes a conflict; everything else stays what it is', async (t) => {
  const duplicate = Object.assign(new Error('E11000'), { code: 11000 })
  t.throws(
    () => toConflict(duplicate, 'taken', { field: 'name' }),
    new AppError('conflict', 'taken', { field: 'name' }, { cause: duplicate })
  )
  const other = Object.assign(new Error('other'), { code: 1 })
  t.throws(() => toConflict(other, 'taken'), other)
  for (const strange of [undefined, null, 'text', 11000]) t.equal(isDuplicateKey(strange), false)
})

t.test('writes are journalled on the embedded engine and with a majority elsewhere', async (t) => {
  const socket = connectionOptions('mongodb://%2Frun%2Fengine.sock', 'db')
  t.match(socket, { dbName: 'db', writeConcern: { w: 1, journal: true }, retryWrites: false, directConnection: true })
  const server = connectionOptions('mongodb://db.example:27017', 'db')
  t.match(server, { writeConcern: { w: 'majority' } })
  t.notOk('directConnection' in server || 'retryWrites' in server)
  t.match(connectionOptions('mongodb://db.example', 'db', 'journal'), { writeConcern: { w: 1, journal: true } })
  t.match(connectionOptions('mongodb://user:pass@%2frun%2fe.sock/?x=1', 'db'), { directConnection: true })
})

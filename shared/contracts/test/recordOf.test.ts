import t from 'tap'
import { AppError, compile, Hello, recordOf, Type } from '../src/index.js'

const odd = ['plain', '', 'two\nlines', '\n', 'a\r\nb', 'a\u2028b', '__proto']

t.test('the value of every key of a record is checked, also where the key has a line break', async (t) => {
  const check = compile(recordOf(Type.Integer(), { maxProperties: 3 }))
  for (const key of odd) {
    t.strictSame(check({ [key]: 1 }), { [key]: 1 }, encodeURIComponent(key))
    t.throws(
      () => check({ [key]: 'one' }),
      { code: 'invalid_input', message: /must be integer/ },
      encodeURIComponent(key)
    )
  }
  t.throws(() => check({ a: 1, b: 2, c: 3, d: 4 }), AppError)
})

t.test('a hello whose attribute is no text is refused, whatever the name of the attribute', async (t) => {
  const hello = compile(Hello)
  const said = (attributes: object) => ({ role: 'STORE', version: '1', attributes })
  t.ok(hello(said({ 'two\nlines': 'text' })))
  for (const value of [1, null, {}, ['text']]) t.throws(() => hello(said({ 'two\nlines': value })), AppError)
})

"""What drawings show where WordNet's first meaning of their noun is another thing."""

# kinds: the nouns, or whole names, of which they are told in captions
KINDS: dict[str, tuple[str, ...]] = {
    noun.strip(): tuple(kinds.strip().split(","))
    for row in """
        person: adult; female; male; employee; patient; assistant; technologist; prisoner; guardian
        person: customer; chalkboard teacher; robber; sailor; viola
        trophy,award: champions
        machine: cashier; fax
        person,worker: worker; office worker; health worker; factory worker
        underwear,clothing: boxer
        face,emotion: nerd; crazy
        person,device: walker
        person,warrior: ninja
        creature,fantasy: merman; troll; alien monster
        dinosaur,reptile,animal: t rex
        cat,animal: black cat
        fish,animal: seahorse
        sign: aquarius; aries; capricorn; gemini; leo; libra; ophiuchus; sagittarius
        sign: scorpio; scorpius; taurus; virgo; braille; celsius; fahrenheit; equals; halal; mercury
        sign: number one; venus and mars
        sign,plant: vegan
        message: sms
        battery: battery three quarters
        instrument: compass rose
        flask,glass: erlenmeyer
        umbrella,beach: umbrella on ground
        cutlery,kitchenware: fork spoon
        money,hand: money hand
        hand: hand rock; hand palm
        egg,food: egg crack
        bowl,food: bowl chopsticks
        hat: hat glasses
        moon,sky: moon star; sun moon
        medicine: capsule
        baby,body: fetus
        robot,machine: bot
        creature,game: invader
        computer,machine: terminal
        card,game: club suit; diamond suit; heart suit; spade suit; flower playing cards
        piece,game: chess bishop; chess king; chess knight; chess queen; chess rook
        tile,game: mahjong red dragon
        toy: pinwheel; playground slide; rubber duck; fidget spinner
        aircraft: drone; delivery drone
        vehicle: electric scooter; vespa
        antenna,device: satellite dish
        device: game console; chip; dial; wiper; charger; plug; socket; power plug; usb plug
        device: plug socket; power socket; cpu; ev charger
        tower,building: burj al arab
        tool: pizza cutter; cutter; pen tool
        decoration: carp streamer
        weapon: mace
        jar,container: honeypot
        hat,clothing: mortarboard; turban
        polygon,figure: pentagon
        paper: sticker
        food: drumstick
        drink,beverage: cola; beverage; drink
        record,recording: vinyl
        toy,disk: flying disc
        stone,grave: headstone
        body,body part: ear nose throat; leg; lungs; jaws; eyebrow
        box,container: chest
        lamp,light: bulb
        bag,container: trunk
        container: oxygen tank; propane tank
        jewel: gem
        stove,appliance: grill
        bandage: sling
        pen: highlighter
        book: atlas
        cup: teacup without handle
        snowman: snowman without snow
        vehicle,train: rail; monorail; mountain railway; cable car
        dessert,food: ice pop
        bottle: spray
        pin: push pin; map pin
        board: bulletin board
        thread: threads
        sport: golf hole
        belt: seatbelt
        car: car wash
        tools: hardware
        arm,limb: mechanical arm
    """.strip().splitlines()
    for kinds, _, nouns in [row.partition(":")]
    for noun in nouns.split(";")
}
# emoji keywords that a caption should not teach
KEYWORDS_LEFT_OUT = set(
    """
    af ass at bs c crook drugs drunk dupe evil expendable fml gang goo gtg handicap ily jew jewish
    litaf lmao mean mexican omw roflcopter saturnine selling sexy smh speculum stubborn t tbt thong
    thongs turd u ugly v x
    """.split()
)

"""What drawings show where WordNet's first meaning of their noun is another thing."""

# kinds: the nouns, or whole names, of which they are told in captions
KINDS: dict[str, tuple[str, ...]] = {
    noun.strip(): tuple(kinds.strip().split(","))
    for row in """
        person: adult; female; male; employee; patient; assistant; technologist; prisoner; guardian;
            champions; cashier; human; guest; customer; agent; chalkboard teacher
        person,worker: worker; office worker; health worker; factory worker
        underwear,clothing: boxer
        face,emotion: nerd; crazy
        person,device: walker
        person,warrior: ninja
        creature,fantasy: merman; troll; alien monster
        dinosaur,reptile,animal: t rex
        cat,animal: black cat
        fish,animal: seahorse
        sign: aquarius; aries; capricorn; gemini; leo; libra; ophiuchus; pisces; sagittarius;
            scorpio; scorpius; taurus; virgo; braille; celsius; fahrenheit; equals; halal; mercury;
            number one; venus and mars
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
        medicine: capsules
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
        device: charger; plug; socket; power plug; usb plug; plug socket; power socket; cpu;
            ev charger
        tower,building: burj al arab
        tool: pizza cutter; cutter; pen tool
        decoration: carp streamer
        weapon: mace
        jar,container: honeypot
        hat,clothing: mortarboard; turban
        polygon,figure: pentagon; hexagon
        food: drumstick
        drink,beverage: cola; beverage; drink
        record,recording: vinyl; flying disc
        stone,grave: headstone
        body,body part: ear nose throat; leg; lungs; chest; jaws; eyebrow
        arm,limb: mechanical arm
    """.replace("\n            ", " ")
    .strip()
    .splitlines()
    for kinds, _, nouns in [row.partition(":")]
    for noun in nouns.split(";")
}
# emoji keywords that a caption should not teach
KEYWORDS_LEFT_OUT = set("af ass bs fml jew jewish litaf lmao mexican sexy smh turd".split())
